"""The CSV layouts of the drop folder as data: canonical columns, their formats and meaning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column: canonical name, Chinese header, format (see FORMATS), must it be filled, meaning."""

    name: str
    zh: str
    format: str
    required: bool
    meaning: str


@dataclass(frozen=True)
class Layout:
    """One kind of file: its columns in order, and the columns that name a row for ever."""

    kind: str
    zh: str
    key: tuple[str, ...]
    about: str
    columns: tuple[Column, ...]


# format -> what may stand in the column
FORMATS = {
    "text": "free text",
    "code": "a code or number, kept as it came (leading zeros matter)",
    "date": "a day of the hospital's zone",
    "datetime": "an instant in the hospital's zone, to the second",
    "decimal": "a decimal number, digits kept as written",
    "money": "yuan with exactly two decimals, may be negative",
    "integer": "a whole number",
    "list": "several values separated by `;`",
    "coded": "codes and names: `code|name;code|name`",
    "sex": "code set `sex` (GB/T 2261.1)",
    "id_type": "code set `id_type`",
    "relation": "code set `relation` (GB/T 4761, shortened)",
    "record_status": "code set `record_status`",
    "visit_type": "code set `visit_type`",
    "visit_status": "code set `visit_status`",
    "exam_type": "code set `exam_type`",
    "flag": "code set `flag` (HL7 table 0078)",
    "result_status": "code set `result_status` (HL7 table 0085)",
    "charge_status": "code set `charge_status`",
    "settlement_status": "code set `settlement_status`",
    "total_kind": "code set `total_kind`",
}


def _columns(text: str) -> tuple[Column, ...]:
    """Read a table of `name zh format[!] meaning`, one column a line; `!` marks a required one."""
    columns = []
    for line in text.strip().splitlines():
        name, zh, kind, meaning = line.split(None, 3)
        columns.append(Column(name, zh, kind.rstrip("!"), kind.endswith("!"), meaning))
    return tuple(columns)


PATIENTS = Layout(
    "patients",
    "患者",
    ("patient_no",),
    "One row per registered patient. A row sent again replaces the earlier one if its updated_at is later.",
    _columns(
        """
        patient_no         患者编号     code!          the hospital's own patient number
        name               姓名         text!          full name as written
        sex                性别         sex!           administrative sex
        birth_date         出生日期     date           empty where unknown
        id_type            证件类型     id_type        kind of the document in id_no
        id_no              证件号码     code           number of that document
        insurance_no       医保编号     code           insurance personal number
        health_card_no     健康卡号     code           electronic health card number
        phone              联系电话     code           mobile phone
        address            现住址       text           present address
        ethnic_group       民族代码     code           GB/T 3304 code, 01 = Han
        marital_status     婚姻状况     code           GB/T 2261.2 code
        nationality        国籍代码     code           ISO 3166 three letters (GB/T 2659), CHN
        contact_name       联系人姓名   text           next of kin
        contact_relation   联系人关系   relation       next of kin's relation to the patient
        contact_phone      联系人电话   code           next of kin's phone
        allergies          过敏史       list           names of substances; 无 = none known; empty = not asked
        deceased_at        死亡时间     datetime       empty while alive
        merged_into        合并至编号   code           the patient_no that lives on, if status is merged
        status             记录状态     record_status! state of this row
        updated_at         更新时间     datetime!      when the hospital last changed the row (source time)
        """
    ),
)

VISITS = Layout(
    "visits",
    "就诊",
    ("visit_no",),
    "One row per visit of any type; sent at its begin and again when something changes.",
    _columns(
        """
        visit_no           就诊流水号   code!          the hospital's number of this visit
        patient_no         患者编号     code!          whose visit
        visit_type         就诊类型     visit_type!    kind of visit
        visit_status       就诊状态     visit_status!  state of the visit
        department_code    科室代码     code           the hospital's department code
        department         科室名称     text           department
        doctor_code        医生工号     code           attending doctor's staff number
        doctor             医生姓名     text           attending doctor
        bed                床位号       text           inpatients only
        started_at         就诊时间     datetime!      seen or admitted at
        ended_at           离院时间     datetime       discharged at; empty while present
        chief_complaint    主诉         text           chief complaint
        diagnosis_code     主要诊断编码 code           ICD-10 code of the main diagnosis
        diagnosis          主要诊断名称 text           its name
        other_diagnoses    其他诊断     coded          further diagnoses
        discharge_summary  出院小结     text           narrative, inpatients only
        updated_at         更新时间     datetime!      source time
        """
    ),
)

LABORATORY = Layout(
    "laboratory",
    "检验",
    ("report_no", "item_code", "item_no"),
    "One row per result item; rows of one report_no make one report. A corrected or withdrawn item is "
    "sent again under the same key with its new result_status.",
    _columns(
        """
        report_no          报告单号     code!          laboratory report number
        patient_no         患者编号     code!          whose result
        visit_no           就诊流水号   code           during which visit
        order_no           申请单号     code           the order
        panel_code         组套代码     code           local code of the panel ordered
        panel              组套名称     text           its name
        specimen_no        标本号       code           barcode
        specimen           标本类型     text           kind of specimen, 血清
        item_no            序号         integer        sub-id within the report, not an identity by itself
        item_code          项目代码     code!          local code of the item
        item               项目名称     text!          its name
        loinc              LOINC        code           LOINC code where the hospital knows it
        value              结果         text           number or text as printed; empty if withdrawn
        unit               单位         text           unit as printed
        reference_range    参考范围     text           as printed: 3.9-6.1, <5.2, 阴性
        flag               异常标志     flag           abnormal flag
        result_status      结果状态     result_status! final, corrected or withdrawn
        collected_at       采集时间     datetime       specimen collected at
        reported_at        报告时间     datetime!      released at
        doctor             申请医生     text           who ordered
        verifier           审核者       text           who verified
        updated_at         更新时间     datetime!      source time
        """
    ),
)

EXAMINATIONS = Layout(
    "examinations",
    "检查",
    ("report_no", "item_code"),
    "Imaging, ECG, ultrasound, endoscopy and physical examinations, and vital signs. One row per item; an "
    "imaging report is one row with findings and conclusion; a physical examination has a row per item and "
    "one row with item_code `SUMMARY` carrying the overall conclusion.",
    _columns(
        """
        report_no          报告单号     code!          number of the report
        patient_no         患者编号     code!          whose examination
        visit_no           就诊流水号   code           during which visit
        order_no           申请单号     code           the order
        exam_type          检查类型     exam_type!     kind of examination
        item_code          项目代码     code!          local code of the item
        item               项目名称     text!          its name
        body_site          部位         text           part of the body
        value              结果         text           measured value, if the item is a measurement
        unit               单位         text           its unit
        reference_range    参考范围     text           as printed
        flag               异常标志     flag           abnormal flag
        findings           检查所见     text           narrative findings
        conclusion         检查结论     text           conclusion; overall conclusion in the SUMMARY row
        result_status      结果状态     result_status! final, corrected or withdrawn
        performed_at       检查时间     datetime       when it was done
        reported_at        报告时间     datetime!      released at
        doctor             报告医生     text           who reported
        verifier           审核者       text           who verified
        updated_at         更新时间     datetime!      source time
        """
    ),
)

CHARGES = Layout(
    "charges",
    "费用明细",
    ("charge_no",),
    "One row per charge line. A refund is a new line with negative quantity and amount that names the line "
    "it takes back in refund_of. settlement_no is empty where the line was sent before its settlement: a "
    "settlement covers all lines of its visit that no earlier settlement covers.",
    _columns(
        """
        charge_no          费用流水号   code!          number of the charge line
        patient_no         患者编号     code!          whose charge
        visit_no           就诊流水号   code!          for which visit
        settlement_no      结算单号     code           the settlement it went into
        order_no           申请单号     code           the order or report it pays for
        item_code          项目代码     code!          local code of the service, drug or material
        item               项目名称     text!          its name
        national_code      国家编码     code           insurance catalogue code or ATC for drugs
        category_code      费用类别代码 code!          code of the invoice category
        category           费用类别     text!          its name, 西药费
        quantity           数量         decimal!       negative on a refund
        unit               单位         text           unit of the quantity
        unit_price         单价         decimal!       yuan, two to four decimals
        amount             金额         money!         quantity x unit price rounded to the fen
        refund_of          冲销流水号   code           the line this one takes back
        charge_status      费用状态     charge_status! normal or refund
        department         开单科室     text           who ordered
        doctor             开单医生     text           who ordered
        charged_at         收费时间     datetime!      service or charging time
        accounting_date    记账日期     date!          accounting day, the basis of the control totals
        updated_at         更新时间     datetime!      source time
        """
    ),
)

SETTLEMENTS = Layout(
    "settlements",
    "结算",
    ("settlement_no",),
    "One row per settlement. total_amount = the ten amounts that follow it, to the fen, and = the sum of the "
    "charge lines it covers. A reversal is a row of its own with negative amounts that names in `replaces` "
    "what it reverses; the re-issue names it too.",
    _columns(
        """
        settlement_no      结算单号     code!          number of the settlement
        invoice_no         发票号       code           invoice number
        patient_no         患者编号     code!          whose settlement
        visit_no           就诊流水号   code!          for which visit
        settlement_status  结算状态     settlement_status! normal, reversal or reissue
        replaces           原结算单号   code           the settlement reversed or re-issued
        insurance_type     参保类型     text           职工医保, 居民医保, 公费医疗, 自费
        settled_at         结算时间     datetime!      settled at
        accounting_date    记账日期     date!          accounting day, the basis of the control totals
        total_amount       总金额       money!         all of it
        pooling_fund       统筹基金     money!         paid by the pooling fund
        personal_account   个人账户     money!         paid from the personal account
        critical_illness   大病保险     money!         large-sum or critical-illness supplement
        civil_servant      公务员补助   money!         civil-servant subsidy
        retired_cadre      离休统筹     money!         retired-cadre pool
        medical_aid        医疗救助     money!         medical aid
        care_fund          保健经费     money!         care fund
        self_funded        自费         money!         patient: outside the catalogue
        first_self_paid    先行自付     money!         patient: first part of class-B items
        self_paid          自付         money!         patient: deductible and co-payment
        updated_at         更新时间     datetime!      source time
        """
    ),
)

CONTROL_TOTALS = Layout(
    "control_totals",
    "日对账",
    ("accounting_date", "total_kind", "category_code"),
    "What the hospital says it recorded on a day, whatever road it was sent by. One row per day and kind; "
    "a hospital may add, for charges, a row per invoice category (category_code filled): H04 does. Days "
    "without any are left out.",
    _columns(
        """
        accounting_date    记账日期     date!          the day
        total_kind         对账类别     total_kind!    what is counted
        category_code      费用类别代码 code           invoice category; empty = all
        item_count         数量         integer!       how many
        amount             金额         money          their sum, where the kind has money
        generated_at       生成时间     datetime!      when the hospital counted; a later count wins
        """
    ),
)

LAYOUTS: dict[str, Layout] = {
    layout.kind: layout
    for layout in (PATIENTS, VISITS, LABORATORY, EXAMINATIONS, CHARGES, SETTLEMENTS, CONTROL_TOTALS)
}

# invoice categories, docs/interfaces-csv.md; the code is the hospitals' common local one
CATEGORIES = {
    "01": "西药费",
    "02": "中成药费",
    "03": "中药饮片费",
    "04": "挂号费",
    "05": "诊察费",
    "06": "检查费",
    "07": "化验费",
    "08": "治疗费",
    "09": "手术费",
    "10": "床位费",
    "11": "护理费",
    "12": "卫生材料费",
    "13": "输血费",
    "99": "其他费",
}

# payer columns of a settlement; their sum is total_amount
PAYERS = (
    "pooling_fund",
    "personal_account",
    "critical_illness",
    "civil_servant",
    "retired_cadre",
    "medical_aid",
    "care_fund",
    "self_funded",
    "first_self_paid",
    "self_paid",
)
