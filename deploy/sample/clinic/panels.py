"""Laboratory panels, vital signs and physical-examination items as data, with LOINC where known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """One measured item: reference range, usual mean and spread, digits after the point."""

    code: str
    name: str
    loinc: str
    unit: str
    low: float | None
    high: float | None
    mean: float
    spread: float
    digits: int
    negative: str = ""  # a qualitative item: its normal text


@dataclass(frozen=True, slots=True)
class Panel:
    """One orderable panel."""

    code: str
    name: str
    loinc: str
    specimen: str
    specimen_code: str  # HL7 table 0487
    fen: int
    items: tuple[Item, ...]


def _number(text: str) -> float | None:
    return None if text == "-" else float(text)


def _item(line: str) -> Item:
    code, name, loinc, unit, low, high, mean, spread, digits, *negative = line.split()
    loinc, unit = ("" if loinc == "-" else loinc), ("" if unit == "-" else unit)
    text = negative[0] if negative else ""
    return Item(
        code, name, loinc, unit, _number(low), _number(high), float(mean), float(spread), int(digits), text
    )


def _panels(text: str) -> dict[str, Panel]:
    """Read blocks: a panel's line, then its items' lines, blocks parted by an empty line."""
    panels = {}
    for block in text.strip().split("\n\n"):
        head, *lines = block.splitlines()
        code, name, loinc, specimen, specimen_code, fen = head.split()
        items = tuple(map(_item, lines))
        panels[code] = Panel(code, name, loinc.strip("-"), specimen, specimen_code, int(fen), items)
    return panels


PANELS = _panels("""
CBC 血常规 58410-2 全血 BLD 2000
WBC 白细胞计数 6690-2 10^9/L 3.5 9.5 6.3 1.5 2
NEUT% 中性粒细胞百分比 770-8 % 40 75 58 8 1
LYMPH% 淋巴细胞百分比 736-9 % 20 50 32 7 1
NEUT# 中性粒细胞绝对值 751-8 10^9/L 1.8 6.3 3.7 0.9 2
RBC 红细胞计数 789-8 10^12/L 3.8 5.8 4.6 0.4 2
HGB 血红蛋白 718-7 g/L 115 175 139 13 0
HCT 红细胞压积 4544-3 % 35 50 42 3.5 1
MCV 平均红细胞体积 787-2 fL 82 100 90 4 1
MCH 平均红细胞血红蛋白量 785-6 pg 27 34 30 1.5 1
PLT 血小板计数 777-3 10^9/L 125 350 225 48 0
CRP C反应蛋白 1988-5 mg/L 0 8 3 1.8 1

LFT 肝功能 24325-3 血清 SER 6800
ALT 丙氨酸氨基转移酶 1742-6 U/L 7 45 23 9 0
AST 天门冬氨酸氨基转移酶 1920-8 U/L 13 40 23 6 0
GGT γ-谷氨酰基转移酶 2324-2 U/L 7 50 26 11 0
ALP 碱性磷酸酶 6768-6 U/L 35 125 76 18 0
TBIL 总胆红素 14631-6 umol/L 0 23 12.5 3.8 1
DBIL 直接胆红素 14629-0 umol/L 0 8 3.4 1.2 1
TP 总蛋白 2885-2 g/L 65 85 73 4 1
ALB 白蛋白 1751-7 g/L 40 55 45 2.8 1

RFT 肾功能 - 血清 SER 3600
UREA 尿素 22664-7 mmol/L 2.6 8.8 5.1 1.2 2
CREA 肌酐 14682-9 umol/L 41 111 70 13 0
UA 尿酸 14933-6 umol/L 155 428 320 62 0
CYSC 胱抑素C 33863-2 mg/L 0.54 1.15 0.85 0.13 2

LIP 血脂 24331-1 血清 SER 4200
TC 总胆固醇 14647-2 mmol/L 0 5.2 4.6 0.8 2
TG 甘油三酯 14927-8 mmol/L 0 1.7 1.3 0.45 2
HDL-C 高密度脂蛋白胆固醇 14646-4 mmol/L 1.04 2.2 1.35 0.25 2
LDL-C 低密度脂蛋白胆固醇 39469-2 mmol/L 0 3.4 2.8 0.65 2

GLU 空腹血糖 - 血清 SER 500
GLU 葡萄糖 14771-0 mmol/L 3.9 6.1 5.2 0.45 2

A1C 糖化血红蛋白 - 全血 BLD 7000
HBA1C 糖化血红蛋白 4548-4 % 4 6 5.4 0.3 1

ELEC 电解质 24326-1 血清 SER 2400
K 钾 2823-3 mmol/L 3.5 5.3 4.2 0.32 2
NA 钠 2951-2 mmol/L 137 147 141 2 1
CL 氯 2075-0 mmol/L 99 110 104 2 1
CA 钙 2000-8 mmol/L 2.11 2.52 2.33 0.09 2
CO2 二氧化碳结合力 2028-9 mmol/L 22 29 25.5 1.7 1

UA 尿常规 24357-6 尿液 UR 1200
U-PRO 尿蛋白 20454-5 - - - 0 0 0 阴性
U-GLU 尿糖 25428-4 - - - 0 0 0 阴性
U-BLD 尿潜血 5794-3 - - - 0 0 0 阴性
U-LEU 尿白细胞酯酶 5799-2 - - - 0 0 0 阴性
U-KET 尿酮体 2514-8 - - - 0 0 0 阴性
U-SG 尿比重 5811-5 - 1.003 1.03 1.016 0.004 3
U-PH 尿酸碱度 5803-2 - 4.5 8 6.1 0.5 1

TFT 甲状腺功能 - 血清 SER 12500
TSH 促甲状腺激素 3016-3 mIU/L 0.27 4.2 2.1 0.8 3
FT3 游离三碘甲状腺原氨酸 14928-6 pmol/L 3.1 6.8 4.8 0.6 2
FT4 游离甲状腺素 14920-3 pmol/L 12 22 16.5 1.9 2

COAG 凝血功能 - 血浆 PLAS 6000
PT 凝血酶原时间 5902-2 s 10 14 12 0.7 1
INR 国际标准化比值 6301-6 - 0.8 1.2 1 0.07 2
APTT 活化部分凝血活酶时间 14979-9 s 22 38 29 3 1
FIB 纤维蛋白原 3255-7 g/L 2 4 2.9 0.5 2
DD D-二聚体 - mg/L 0 0.5 0.25 0.1 2

CARD 心肌标志物 - 血清 SER 18600
TNI 肌钙蛋白I 10839-9 ng/mL 0 0.04 0.012 0.006 3
CKMB 肌酸激酶同工酶 13969-1 ng/mL 0 5 1.9 0.8 2
NTBNP N末端B型钠尿肽前体 33762-6 pg/mL 0 300 85 50 0

HBV 乙肝五项 - 血清 SER 8000
HBSAG 乙肝表面抗原 5196-1 - - - 0 0 0 阴性
HBSAB 乙肝表面抗体 - - - - 0 0 0 阳性
HBEAG 乙肝e抗原 13954-3 - - - 0 0 0 阴性
HBEAB 乙肝e抗体 13953-5 - - - 0 0 0 阴性
HBCAB 乙肝核心抗体 13952-7 - - - 0 0 0 阴性

TUM 肿瘤标志物 - 血清 SER 16000
AFP 甲胎蛋白 1834-1 ng/mL 0 7 2.8 1.1 2
CEA 癌胚抗原 2039-6 ng/mL 0 5 1.9 0.8 2
CA199 糖类抗原19-9 24108-3 U/mL 0 27 9.5 4.5 2
""")

VITAL_SIGNS = _panels("""
VS 生命体征 85353-1 - - 0
BT 体温 8310-5 Cel 36 37.3 36.6 0.2 1
HR 脉搏 8867-4 /min 60 100 76 8 0
RR 呼吸 9279-1 /min 12 20 17 1.3 0
SBP 收缩压 8480-6 mm[Hg] 90 140 121 9 0
DBP 舒张压 8462-4 mm[Hg] 60 90 76 6 0
""")["VS"]

BODY = _panels("""
PE 一般检查 - - - 2000
HT 身高 8302-2 cm - - 165 8 1
WT 体重 29463-7 kg - - 63 9 1
BMI 体重指数 39156-5 kg/m2 18.5 24 23 2.4 1
WC 腰围 8280-0 cm - - 81 8 0
SBP 收缩压 8480-6 mm[Hg] 90 140 121 9 0
DBP 舒张压 8462-4 mm[Hg] 60 90 76 6 0
HR 脉搏 8867-4 /min 60 100 74 8 0
VA-L 左眼裸眼视力 - - - - 4.9 0.2 1
VA-R 右眼裸眼视力 - - - - 4.9 0.2 1
IOP-L 左眼眼压 - mm[Hg] 10 21 15 2 0
IOP-R 右眼眼压 - mm[Hg] 10 21 15 2 0
""")["PE"]

# units as each make of laboratory system spells them; UCUM is on the left
SPELLINGS: dict[int, dict[str, str]] = {
    1: {
        "10^9/L": "10^9/L",
        "umol/L": "μmol/L",
        "mm[Hg]": "mmHg",
        "Cel": "℃",
        "/min": "次/分",
        "kg/m2": "kg/m²",
    },
    2: {},
    3: {"10^9/L": "10*9/L", "10^12/L": "10*12/L", "mIU/L": "m[IU]/L"},
    4: {
        "10^9/L": "×10⁹/L",
        "10^12/L": "×10¹²/L",
        "umol/L": "umol/l",
        "mm[Hg]": "mmHg",
        "Cel": "℃",
        "/min": "bpm",
    },
    5: {"10^9/L": "10*9/L", "10^12/L": "10*12/L"},
}
