"""How each sample hospital writes its CSV files: headers, character set, dates and codes, as data."""

from __future__ import annotations

from dataclasses import dataclass, field

from deploy.sample.layouts import LAYOUTS, Column

# code set -> canonical code -> (English meaning, as H04 writes it, as H05 writes it)
CODES: dict[str, dict[str, tuple[str, str, str]]] = {
    "sex": {
        "1": ("male", "男", "M"),
        "2": ("female", "女", "F"),
        "0": ("unknown", "未知", "U"),
        "9": ("unspecified", "未说明", "O"),
    },
    "id_type": {
        "resident_id": ("resident identity card, 18 or old 15 digits", "居民身份证", "01"),
        "passport": ("passport", "护照", "03"),
        "permit_hmt": ("residence permit for Hong Kong, Macao and Taiwan", "港澳台居民居住证", "06"),
        "foreign_pr": ("foreigner's permanent-resident card", "外国人永久居留身份证", "07"),
        "birth_certificate": ("birth certificate", "出生医学证明", "08"),
        "officer": ("officer's card", "军官证", "04"),
    },
    "relation": {
        "spouse": ("spouse", "配偶", "SPO"),
        "child": ("contact is the patient's child", "子女", "CHD"),
        "parent": ("contact is the patient's parent", "父母", "PAR"),
        "other": ("other", "其他", "OTH"),
    },
    "record_status": {
        "normal": ("in force", "正常", "A"),
        "merged": ("merged into merged_into", "合并", "M"),
        "withdrawn": ("withdrawn", "作废", "D"),
    },
    "visit_type": {
        "outpatient": ("outpatient", "门诊", "O"),
        "emergency": ("emergency", "急诊", "E"),
        "inpatient": ("inpatient", "住院", "I"),
        "examination": ("physical examination", "体检", "P"),
    },
    "visit_status": {
        "in_progress": ("patient present", "在院", "1"),
        "finished": ("finished or discharged", "已离院", "2"),
        "cancelled": ("cancelled", "退号", "9"),
    },
    "exam_type": {
        "imaging": ("radiology: CT, MR, X-ray", "放射", "RAD"),
        "ultrasound": ("ultrasound", "超声", "US"),
        "ecg": ("electrocardiogram", "心电", "ECG"),
        "endoscopy": ("endoscopy", "内镜", "ES"),
        "physical": ("physical examination", "体检", "PE"),
        "vital_signs": ("vital signs", "生命体征", "VS"),
    },
    "flag": {
        "N": ("normal", "", "N"),
        "H": ("above range", "↑", "H"),
        "L": ("below range", "↓", "L"),
        "HH": ("critically high", "↑↑", "HH"),
        "LL": ("critically low", "↓↓", "LL"),
        "A": ("abnormal", "异常", "A"),
    },
    "result_status": {
        "final": ("final", "正常", "F"),
        "corrected": ("corrected", "更正", "C"),
        "withdrawn": ("withdrawn", "作废", "W"),
    },
    "charge_status": {"normal": ("charged", "正常", "1"), "refund": ("takes back refund_of", "退费", "2")},
    "settlement_status": {
        "normal": ("settled", "正常", "1"),
        "reversal": ("reverses `replaces`, negative amounts", "冲销", "2"),
        "reissue": ("issued again in place of `replaces`", "重开", "3"),
    },
    "total_kind": {
        "patients": ("patients registered for the first time that day", "患者", "patients"),
        "visits": ("visits that began that day", "就诊", "visits"),
        "laboratory": ("laboratory reports first released that day", "检验", "laboratory"),
        "examinations": ("examination reports first released that day", "检查", "examinations"),
        "charges": ("charge lines of the accounting day, refunds included", "费用明细", "charges"),
        "settlements": ("settlements of the accounting day, reversals included", "结算", "settlements"),
    },
}

CODED_FORMATS = frozenset(CODES)

# H05's vendor writes its own English headers; any column not named here is the canonical name in capitals
_H05_HEADERS = {
    "patient_no": "PAT_ID",
    "name": "PAT_NAME",
    "id_no": "IDCARD_NO",
    "visit_no": "ADM_ID",
    "charge_no": "BILL_DETAIL_ID",
    "settlement_no": "INVOICE_ID",
    "accounting_date": "ACCT_DATE",
    "total_amount": "TOTAL_FEE",
    "amount": "FEE",
    "unit_price": "PRICE",
    "quantity": "QTY",
}


@dataclass(frozen=True)
class Dialect:
    """How one hospital writes its files; `codes` is its place in CODES (None = canonical)."""

    facility: str
    headers: str  # canonical | zh | vendor
    encoding: str
    date: str
    datetime: str
    codes: int | None = None
    kinds: tuple[str, ...] = field(default=tuple(LAYOUTS))

    def header(self, column: Column) -> str:
        """Return the header this hospital writes for a column."""
        if self.headers == "zh":
            return column.zh
        if self.headers == "vendor":
            return _H05_HEADERS.get(column.name, column.name.upper())
        return column.name

    def code(self, code_set: str, code: str) -> str:
        """Return a canonical code as this hospital writes it."""
        return code if self.codes is None else CODES[code_set][code][self.codes]


DIALECTS = {
    "H01": Dialect(
        "H01", "zh", "gb18030", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", None, ("settlements", "control_totals")
    ),
    "H02": Dialect(
        "H02", "canonical", "utf-8", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", None, ("settlements", "control_totals")
    ),
    "H03": Dialect("H03", "canonical", "utf-8", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", None, ("control_totals",)),
    "H04": Dialect("H04", "zh", "gb18030", "%Y/%m/%d", "%Y/%m/%d %H:%M:%S", 1),
    "H05": Dialect(
        "H05",
        "vendor",
        "utf-8",
        "%Y%m%d",
        "%Y%m%d%H%M%S",
        2,
        ("charges", "settlements", "control_totals"),
    ),
}
