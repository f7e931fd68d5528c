"""The words for codes, in the language of the page; Chinese is the source, English the translation."""

import re

from flask_babel import gettext, lazy_gettext

from esb.fhir.identifiers import HEALTH_CARD, HEALTH_RECORD, RESIDENT_ID, is_facility_system
from hie.mpi import identify
from hie.security.actor import Actor

_ = lazy_gettext

ROLES = {
    "doctor": _("医生"),
    "referral": _("转诊办"),
    "engineer": _("信息工程师"),
    "steward": _("数据管理员"),
    "auditor": _("审计员"),
    "operator": _("平台运维"),
    "system": _("系统"),
    "facility": _("医院系统"),
    "nobody": _("未登录"),
}
GENDERS = {"male": _("男"), "female": _("女"), "other": _("其他"), "unknown": _("性别不详")}
PURPOSES = {
    "TREAT": (_("诊疗"), _("病人正在本院就诊")),
    "COC": (_("会诊"), _("会诊或转诊协作")),
    "ETREAT": (_("急救"), _("病人情况紧急")),
    "CAREMGT": (_("健康管理"), _("随访、慢病或体检管理")),
    "PATRQT": (_("病人要求"), _("病人本人要求查阅")),
    "HOPERAT": (_("运行管理"), ""),
}
KINDS = {
    "outpatient": _("门诊"),
    "inpatient": _("住院"),
    "emergency": _("急诊"),
    "examination": _("体检"),
    "laboratory": _("检验"),
    "imaging": _("检查"),
    "document": _("文书"),
    "medication": _("用药"),
    "procedure": _("手术操作"),
    "immunization": _("接种"),
    "home": _("上门服务"),
    "virtual": _("互联网诊疗"),
    "vital-signs": _("生命体征"),
    "exam": _("体格检查"),
    "social-history": _("生活史"),
    "survey": _("评估量表"),
    "other": _("其他"),
}
FLAGS = {
    "high": ("↑", _("高")),
    "low": ("↓", _("低")),
    "critical-high": ("⇈", _("危急高")),
    "critical-low": ("⇊", _("危急低")),
    "critical": ("‼", _("危急")),
    "abnormal": ("*", _("异常")),
    "positive": ("+", _("阳性")),
}
PARTS = {"findings": _("所见"), "conclusion": _("结论")}
IDENTIFIERS = {
    "NI": _("身份证"),
    "NNCHN": _("身份证"),
    "HC": _("健康卡"),
    "JHN": _("健康卡"),
    "PPN": _("护照"),
    "MR": _("病案号"),
    "SS": _("医保号"),
    RESIDENT_ID: _("身份证"),
    HEALTH_CARD: _("健康卡"),
    HEALTH_RECORD: _("健康档案号"),
    "insurance": _("医保号"),
    "passport": _("护照"),
    "permit-hmt": _("居住证"),
    "foreign-permanent-resident": _("外国人永居证"),
    "birth-certificate": _("出生医学证明"),
    "officer-card": _("军官证"),
    "entitlement-certificate": _("保健证"),
    "visit": _("就诊号"),
    "order": _("医嘱号"),
    "mrn": _("病案号"),
    "outpatient": _("门诊号"),
    "inpatient": _("住院号"),
    "exam": _("体检号"),
}
STATES = {
    "open": _("待处理"),
    "linked": _("已关联"),
    "not_same": _("不是同一人"),
    "closed": _("已关闭"),
}
PLACES = {
    "find": _("查找病人"),
    "reviews": _("主索引核对"),
    "trail": _("审计"),
    "searches": _("检索分析"),
    "codes": _("本地编码"),
}
OUTCOMES = {0: _("成功"), 4: _("拒绝"), 8: _("故障")}
ACTIONS = {"C": _("新增"), "R": _("读取"), "U": _("修改"), "D": _("删除"), "E": _("执行")}

FIELDS = {
    "name": _("姓名"),
    "gender": _("性别"),
    "birthDate": _("出生日期"),
    "telecom": _("电话"),
    "address": _("住址"),
}
STEPS = {
    "registered": _("首次登记"),
    "matched": _("自动匹配"),
    "merged by the facility": _("医院合并"),
    "linked": _("关联"),
    "unlinked": _("拆分"),
    "declared not the same": _("声明不是同一人"),
    "undone": _("撤销"),
}
REASONS = {
    identify.SAME: _("号码、姓名和出生日期都一致"),
    identify.DIFFERENT: _("号码相同，但姓名或出生日期不同"),
    identify.TWO_NUMBERS: _("姓名、出生日期和一个号码一致，但同类的另一个号码不同"),
    identify.CHANGED: _("姓名或出生日期改变，与同一人的其他登记不再一致"),
    identify.DECIDED: _("数据显示是同一人，但有人作过相反的决定"),
    identify.ACROSS: _("医院把自己的登记并入了另一家医院的登记"),
}

ERRORS = {
    400: (_("这个请求读不懂"), _("请返回上一页，核对填写的内容后重试。")),
    401: (_("请先登录"), _("登录已失效，请重新登录。")),
    403: (_("没有权限"), _("您的角色不能使用这个页面。如有需要，请联系本院信息科。")),
    404: (_("没有可以查阅的内容"), _("没有这样的内容，或您目前没有查阅它的依据。请重新查找病人并确认身份。")),
    409: (_("内容刚刚被他人修改"), _("请返回刷新后再操作。")),
    410: (_("内容已失效"), _("内容已删除或链接已过期，请重新开始。")),
    413: (_("内容太大"), _("请减少内容后重试。")),
    429: (_("尝试次数过多"), _("为保护病人隐私，已暂停确认。请核对信息，十分钟后再试。")),
    503: (_("暂时连不上"), _("系统的一部分暂时不可用，没有丢失任何数据，请稍后再试。")),
    500: (_("系统出错了"), _("请稍后再试；如果仍然出现，请把编号告诉平台运维。")),
}
# What may be wrong with a filled list of codes, as `hie.terminology` says it.
LINE = re.compile(r"line (?P<line>[0-9]+)")
LIST_FAULTS = tuple(
    (re.compile(said, re.DOTALL), text)
    for said, text in (
        ("the facility is another one than yours", _("医院代码不是本院的")),
        (
            "the system is not one of the facility's own, .*",
            _("编码系统不是该医院自己的（urn:hie:医院代码:…）"),
        ),
        ("the code is empty", _("编码为空")),
        ("the equivalence is none of (?P<known>.*)", _("equivalence 只能是：%(known)s")),
        ("target_system and target_code belong together", _("target_system 和 target_code 要一起填")),
        ("its target is not in that code system", _("target_system 所指的编码系统里没有这个 target_code")),
        ("line (?P<line>[0-9]+) is no CSV; .*", _("第 %(line)s 行不是 CSV，请检查引号。")),
        ("The file is neither UTF-8 nor GB18030; .*", _("文件不是 UTF-8 也不是 GB18030，请另存为其中一种。")),
        (
            "No column for (?P<missing>.*); the columns are: (?P<listed>.*)[.]",
            _("缺少列 %(missing)s；文件里的列是：%(listed)s。请用下载的清单，不要改动表头。"),
        ),
        ("A work list has at most (?P<most>[0-9,]+) lines; .*", _("清单最多 %(most)s 行，请分几次上传。")),
        ("No line has a target_code; .*", _("没有一行填了 target_code；请填 target_system 和 target_code。")),
    )
)


def list_fault(path: str, said: str) -> str:
    """Return what is wrong with a filled list, in the page's language; a line is named by its number."""
    found = ((pattern.fullmatch(said), text) for pattern, text in LIST_FAULTS)
    told = next((str(text) % match.groupdict() for match, text in found if match), said)
    if not path:
        return told
    line = LINE.fullmatch(path)
    return gettext("第 %(line)s 行：%(told)s", line=line["line"] if line else path, told=told)


def role_name(role: str) -> str:
    """Return the name of a role."""
    return str(ROLES.get(role, role))


def gender_name(gender: str) -> str:
    """Return the name of a FHIR administrative gender."""
    return str(GENDERS.get(gender, GENDERS["unknown"]))


def purpose_name(code: str) -> str:
    """Return the name of a purpose of use."""
    return str(PURPOSES[code][0]) if code in PURPOSES else code


def purpose_hint(code: str) -> str:
    """Return when a purpose of use applies."""
    return str(PURPOSES[code][1]) if code in PURPOSES else ""


def kind_name(kind: str) -> str:
    """Return the name of a kind of event."""
    return str(KINDS.get(kind, kind or KINDS["other"]))


def flag_arrow(flag: str) -> str:
    """Return the sign of a result's flag."""
    return FLAGS[flag][0] if flag in FLAGS else "*"


def flag_name(flag: str) -> str:
    """Return the word of a result's flag."""
    return str(FLAGS[flag][1]) if flag in FLAGS else flag


def part_name(heading: str) -> str:
    """Return the heading of a part of a report; a hospital's own heading stays as it is."""
    return str(PARTS.get(heading, heading))


def identifier_name(kind: str) -> str:
    """Return the name of an identifier's kind."""
    return str(IDENTIFIERS.get(kind, gettext("证件")))


def actor_name(actor: Actor) -> str:
    """Return what to call a user."""
    return actor.name or actor.id


def outcome_name(outcome: int) -> str:
    """Return the word for an audit row's outcome."""
    return str(OUTCOMES.get(outcome, outcome))


def step_name(reason: str) -> str:
    """Return the word for a step of the index's log."""
    return str(STEPS.get(reason, reason))


def reason_name(reason: str) -> str:
    """Return why two records must be looked at."""
    return str(REASONS.get(reason, reason))


def field_name(field: str) -> str:
    """Return the name of a compared field; an identifier's by its system."""
    if not field.startswith("identifier:"):
        return str(FIELDS.get(field, field))
    system = field.removeprefix("identifier:")
    kind = system if system in IDENTIFIERS else system.rsplit(":", 1)[-1]
    name = identifier_name(kind)
    return f"{name} {system.split(':')[2]}" if is_facility_system(system) else name


NAMES = {
    function.__name__: function
    for function in (
        role_name,
        gender_name,
        purpose_name,
        purpose_hint,
        kind_name,
        flag_arrow,
        flag_name,
        part_name,
        identifier_name,
        outcome_name,
        step_name,
        reason_name,
        field_name,
    )
}
