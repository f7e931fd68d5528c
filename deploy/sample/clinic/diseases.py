"""Diseases as data: who has them, ICD-10, drugs, tests, imaging and how they move the measured values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Disease:
    """A disease with what it brings about.

    Args:
        prevalence: chance under 40, from 40 to 64, from 65 on (chronic ones only).
        shifts: item code -> how many reference spreads the value lies away from the mean.
        trend: item code -> further spreads over three years (negative = treatment works).
    """

    key: str
    icd: str
    name: str
    department: str
    complaint: str
    drugs: tuple[str, ...]
    panels: tuple[str, ...]
    imaging: tuple[str, ...] = ()
    shifts: dict[str, float] = field(default_factory=dict)
    trend: dict[str, float] = field(default_factory=dict)
    prevalence: tuple[float, float, float] = (0.0, 0.0, 0.0)
    from_age: int = 18
    sex: str = ""
    every_days: int = 90
    admits: float = 0.0  # chance that a visit becomes an admission


def _numbers(text: str) -> dict[str, float]:
    return {k: float(v) for k, v in (pair.split("=") for pair in text.split())}


def _d(
    key: str, icd: str, name: str, dept: str, complaint: str, drugs: str, panels: str, imaging: str = "",
    shifts: str = "", trend: str = "", prevalence: tuple[float, float, float] = (0.0, 0.0, 0.0),
    from_age: int = 18, sex: str = "", every: int = 90, admits: float = 0.0,
) -> Disease:  # fmt: skip
    return Disease(
        key, icd, name, dept, complaint, tuple(drugs.split()), tuple(panels.split()), tuple(imaging.split()),
        _numbers(shifts), _numbers(trend), prevalence, from_age, sex, every, admits,
    )  # fmt: skip


CHRONIC: dict[str, Disease] = {
    d.key: d
    for d in (
        _d("htn", "I10.x00x002", "高血压病", "0301", "发现血压升高，头晕", "D001 D002 D003 D004", "RFT ELEC LIP UA", "ECG",
           "SBP=2.6 DBP=2.2", "SBP=-1.2 DBP=-0.8 CREA=0.5", (0.04, 0.28, 0.5), 28, every=80, admits=0.02),
        _d("t2dm", "E11.900", "2型糖尿病", "0302", "口干、多饮、多尿", "D005 D006 D007 D008 D009", "GLU A1C LIP RFT UA", "",
           "GLU=6 HBA1C=6.5 TG=1.2 U-GLU=1", "GLU=-2 HBA1C=-2 CREA=1", (0.015, 0.11, 0.2), 30, every=75, admits=0.03),
        _d("hld", "E78.500", "高脂血症", "0302", "体检发现血脂升高", "D010 D011", "LIP LFT", "",
           "TC=2 LDL-C=2 TG=1.8", "TC=-1.2 LDL-C=-1.4", (0.04, 0.16, 0.22), 25, every=120),
        _d("chd", "I25.103", "冠状动脉粥样硬化性心脏病", "0301", "活动后胸闷、胸痛", "D012 D013 D014 D010", "CARD LIP COAG", "ECG ECHO CTA",
           "NTBNP=1.5 LDL-C=1", "LDL-C=-1.2", (0.0, 0.05, 0.17), 40, every=100, admits=0.10),
        _d("hf", "I50.900", "心力衰竭", "0301", "活动后气促，双下肢水肿", "D015 D016 D017 D004", "CARD ELEC RFT", "ECHO CXR",
           "NTBNP=22 CREA=1.5", "NTBNP=5", (0.0, 0.006, 0.04), 50, every=60, admits=0.2),
        _d("copd", "J44.900", "慢性阻塞性肺疾病", "0303", "反复咳嗽、咳痰、气喘", "D018 D019 D039", "CBC", "CXR CT-CHEST",
           "HGB=1 RR=1.5", "", (0.0, 0.04, 0.11), 40, every=90, admits=0.13),
        _d("asthma", "J45.900", "支气管哮喘", "0303", "发作性喘息", "D018 D020", "CBC", "CXR",
           "RR=1", "", (0.025, 0.03, 0.03), 4, every=140, admits=0.04),
        _d("ckd", "N18.900", "慢性肾脏病", "0304", "夜尿增多，乏力", "D002 D026 D049", "RFT ELEC CBC UA", "US-KID",
           "CREA=7 UREA=5 HGB=-2.2 CYSC=5 U-PRO=1", "CREA=5 UREA=2 HGB=-1", (0.006, 0.03, 0.07), 25, every=60, admits=0.08),
        _d("hbv", "B18.100", "慢性乙型病毒性肝炎", "0305", "乏力，肝区不适", "D028", "LFT HBV TUM", "US-ABD",
           "ALT=3 AST=2.5 HBSAG=1 HBCAB=1 HBEAB=1", "ALT=-2.4 AST=-2", (0.03, 0.05, 0.03), 18, every=100, admits=0.02),
        _d("hypot", "E03.900", "甲状腺功能减退症", "0302", "畏寒、乏力", "D021", "TFT LIP", "US-THY",
           "TSH=5 FT4=-1.5", "TSH=-4 FT4=1", (0.01, 0.03, 0.04), 20, "2", 150),
        _d("hyper", "E05.900", "甲状腺功能亢进症", "0302", "心悸、多汗、消瘦", "D022 D004", "TFT LFT CBC", "US-THY",
           "TSH=-2.5 FT3=5 FT4=5 HR=2", "FT3=-4 FT4=-4 TSH=2", (0.008, 0.01, 0.005), 18, every=80),
        _d("gout", "M10.900", "痛风", "0306", "第一跖趾关节红肿热痛", "D023 D024 D025", "RFT CBC", "XR-FOOT",
           "UA=3.4", "UA=-2", (0.012, 0.035, 0.03), 22, "1", 130),
        _d("op", "M81.900", "骨质疏松", "0308", "腰背疼痛", "D026 D027", "ELEC", "DXA XR-SPINE",
           "CA=-1", "", (0.0, 0.03, 0.16), 48, "2", 160),
        _d("gastritis", "K29.500", "慢性胃炎", "0305", "上腹胀痛、反酸", "D029 D030 D031", "CBC", "GASTRO",
           "", "", (0.05, 0.1, 0.1), 16, every=200),
        _d("bph", "N40.x00", "前列腺增生", "0307", "尿频、排尿困难", "D046", "UA TUM", "US-PRO",
           "", "", (0.0, 0.06, 0.22), 50, "1", 170, 0.04),
        _d("depr", "F32.900", "抑郁发作", "0309", "情绪低落、睡眠差", "D048 D047", "TFT", "",
           "", "", (0.02, 0.02, 0.02), 16, every=60),
        _d("epi", "G40.900", "癫痫", "0310", "发作性意识障碍", "D050", "LFT CBC", "MR-HEAD",
           "", "", (0.005, 0.004, 0.004), 3, every=110, admits=0.03),
        _d("stroke", "I69.300", "脑梗死后遗症", "0310", "言语不清，右侧肢体乏力", "D012 D010 D102", "LIP COAG GLU", "CT-HEAD MR-HEAD",
           "SBP=1", "", (0.0, 0.015, 0.09), 45, every=90, admits=0.08),
    )
}  # fmt: skip

# acute ones: ages from-to, weight, drugs, tests; the season is left out
ACUTE: tuple[tuple[int, int, int, Disease], ...] = (
    (0, 100, 30, _d("uri", "J06.900", "急性上呼吸道感染", "0303", "发热、咽痛、流涕2天", "D101 D038 D103", "CBC",
                    shifts="BT=4 WBC=1.5 CRP=6 HR=1.5")),
    (0, 100, 12, _d("bronch", "J20.900", "急性支气管炎", "0303", "咳嗽、咳痰5天", "D039 D033 D036", "CBC", "CXR",
                    "BT=3 WBC=2 CRP=9")),
    (0, 100, 8, _d("pneu", "J18.900", "肺炎", "0303", "发热、咳嗽、咳黄痰3天", "D034 D043 D039", "CBC LFT RFT ELEC", "CXR CT-CHEST",
                   "BT=8 WBC=4 NEUT%=2.5 CRP=40 HR=2.5 RR=3", admits=0.4)),
    (0, 100, 12, _d("enter", "A09.901", "急性胃肠炎", "0305", "腹泻、呕吐1天", "D041 D042", "CBC ELEC",
                    shifts="WBC=2 K=-1.5 BT=2")),
    (16, 75, 8, _d("uti", "N39.000", "泌尿道感染", "0304", "尿频、尿急、尿痛", "D035", "UA CBC",
                   shifts="U-LEU=1 U-BLD=1 WBC=1.5")),
    (5, 100, 9, _d("sprain", "S93.401", "踝关节扭伤", "0308", "扭伤后踝部肿痛", "D037 D104", "", "XR-FOOT")),
    (18, 100, 9, _d("lbp", "M54.500", "下背痛", "0308", "腰痛1周", "D025 D104", "", "XR-SPINE")),
    (0, 60, 6, _d("urt", "L50.900", "荨麻疹", "0311", "全身风团伴瘙痒", "D040", "CBC")),
    (2, 100, 5, _d("flu", "J11.100", "流行性感冒", "0303", "高热、全身酸痛1天", "D045 D038", "CBC", shifts="BT=9 CRP=5 HR=2")),
    (12, 80, 3, _d("append", "K35.800", "急性阑尾炎", "0307", "转移性右下腹痛12小时", "D034 D043", "CBC COAG ELEC", "US-ABD CT-ABD",
                   "WBC=5 NEUT%=3 CRP=25 BT=4", admits=0.9)),
    (20, 100, 4, _d("stone", "K80.200x003", "胆囊结石", "0307", "右上腹痛", "D029 D034", "LFT CBC", "US-ABD",
                    "GGT=2 ALP=1", admits=0.3)),
    (55, 100, 2, _d("mi", "I21.900", "急性心肌梗死", "0301", "持续胸痛2小时", "D012 D013 D044 D010", "CARD COAG CBC ELEC RFT", "ECG ECHO",
                    "TNI=300 CKMB=18 HR=2 WBC=3", admits=1.0)),
    (60, 100, 3, _d("fall", "S72.000", "股骨颈骨折", "0308", "摔倒后髋部疼痛、活动受限", "D044 D025 D034", "CBC COAG ELEC RFT", "XR-HIP CXR",
                    "HGB=-2", admits=1.0)),
    (20, 42, 5, _d("preg", "Z34.900", "妊娠期检查", "0312", "停经后定期产检", "D049", "CBC UA GLU", "US-OB", "HGB=-1.2", sex="2")),
    (0, 3, 4, _d("newb", "Z00.100", "婴幼儿健康检查", "0313", "定期儿童保健", "", "CBC")),
)  # fmt: skip

# allergen -> (name, class for AL1-2 (DA drug, FA food, EA environment), reaction, severity)
ALLERGENS = {
    "pen": ("青霉素", "DA", "皮疹", "MO"),
    "ceph": ("头孢菌素类", "DA", "荨麻疹", "MO"),
    "sulfa": ("磺胺类", "DA", "药疹", "MI"),
    "iodine": ("碘造影剂", "DA", "呼吸困难", "SV"),
    "aspirin": ("阿司匹林", "DA", "支气管痉挛", "SV"),
    "shrimp": ("海虾", "FA", "荨麻疹", "MI"),
    "peanut": ("花生", "FA", "喉头水肿", "SV"),
    "mite": ("尘螨", "EA", "鼻炎", "MI"),
}

DEPARTMENTS = {
    "0301": "心血管内科", "0302": "内分泌科", "0303": "呼吸与危重症医学科", "0304": "肾内科", "0305": "消化内科",
    "0306": "风湿免疫科", "0307": "普外泌尿科", "0308": "骨科", "0309": "心身医学科", "0310": "神经内科",
    "0311": "皮肤科", "0312": "产科", "0313": "儿科", "0201": "急诊科", "0901": "健康体检中心",
    "0801": "检验科", "0802": "医学影像科",
}  # fmt: skip
