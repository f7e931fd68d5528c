"""Drugs as data: name, strength, ATC, dose, price, catalogue class (insurance class A, B, C)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drug:
    """One drug of the province's formulary; price of one pack in fen, category by the invoice map."""

    code: str
    name: str
    spec: str
    atc: str
    dose: str
    unit: str
    route: str  # PO, IV, IH, SC
    frequency: str  # QD, BID, TID, QN
    pack: str
    fen: int
    level: str  # A | B | C
    category: str = "01"


_TABLE = """
D001 苯磺酸氨氯地平片 5mg*14片 C08CA01 5 mg PO QD 盒 2185 A
D002 缬沙坦胶囊 80mg*7粒 C09CA03 80 mg PO QD 盒 2640 A
D003 厄贝沙坦氢氯噻嗪片 150mg/12.5mg*7片 C09DA04 1 片 PO QD 盒 2890 B
D004 酒石酸美托洛尔片 25mg*20片 C07AB02 25 mg PO BID 盒 680 A
D005 二甲双胍片 0.5g*20片 A10BA02 0.5 g PO TID 盒 1240 A
D006 格列美脲片 2mg*15片 A10BB12 2 mg PO QD 盒 3150 A
D007 阿卡波糖片 50mg*30片 A10BF01 50 mg PO TID 盒 4630 A
D008 甘精胰岛素注射液 300IU/3ml A10AE04 12 IU SC QN 支 7025 B
D009 达格列净片 10mg*14片 A10BK01 10 mg PO QD 盒 6188 B
D010 阿托伐他汀钙片 20mg*7片 C10AA05 20 mg PO QN 盒 3915 A
D011 瑞舒伐他汀钙片 10mg*7片 C10AA07 10 mg PO QN 盒 3375 B
D012 阿司匹林肠溶片 100mg*30片 B01AC06 100 mg PO QD 盒 1528 A
D013 硫酸氢氯吡格雷片 75mg*7片 B01AC04 75 mg PO QD 盒 4790 A
D014 单硝酸异山梨酯缓释片 40mg*14片 C01DA14 40 mg PO QD 盒 2266 A
D015 呋塞米片 20mg*100片 C03CA01 20 mg PO QD 瓶 980 A
D016 螺内酯片 20mg*100片 C03DA01 20 mg PO QD 瓶 1430 A
D017 沙库巴曲缬沙坦钠片 50mg*14片 C09DX04 50 mg PO BID 盒 7140 B
D018 布地奈德福莫特罗吸入粉雾剂 160ug/4.5ug*60吸 R03AK07 1 吸 IH BID 支 19860 B
D019 噻托溴铵粉吸入剂 18ug*10粒 R03BB04 18 ug IH QD 盒 9940 B
D020 孟鲁司特钠片 10mg*5片 R03DC03 10 mg PO QN 盒 2950 B
D021 左甲状腺素钠片 50ug*100片 H03AA01 50 ug PO QD 盒 3020 A
D022 甲巯咪唑片 5mg*100片 H03BB02 5 mg PO BID 瓶 1290 A
D023 别嘌醇片 0.1g*100片 M04AA01 0.1 g PO QD 瓶 2680 A
D024 非布司他片 40mg*14片 M04AA03 40 mg PO QD 盒 5560 B
D025 塞来昔布胶囊 0.2g*6粒 M01AH01 0.2 g PO QD 盒 2730 B
D026 碳酸钙D3片 600mg*60片 A12AX 600 mg PO QD 瓶 5330 B
D027 阿仑膦酸钠片 70mg*1片 M05BA04 70 mg PO QD 盒 5890 B
D028 恩替卡韦片 0.5mg*28片 J05AF10 0.5 mg PO QD 盒 3464 A
D029 奥美拉唑肠溶胶囊 20mg*14粒 A02BC01 20 mg PO QD 盒 1362 A
D030 铝碳酸镁咀嚼片 0.5g*20片 A02AD04 0.5 g PO TID 盒 2290 B
D031 莫沙必利片 5mg*24片 A03FA09 5 mg PO TID 盒 2516 B
D032 阿莫西林胶囊 0.5g*24粒 J01CA04 0.5 g PO TID 盒 1180 A
D033 头孢呋辛酯片 0.25g*12片 J01DC02 0.25 g PO BID 盒 2470 A
D034 头孢曲松钠注射剂 1.0g J01DD04 2 g IV QD 支 1265 A
D035 左氧氟沙星片 0.5g*7片 J01MA12 0.5 g PO QD 盒 3180 A
D036 阿奇霉素片 0.25g*6片 J01FA10 0.5 g PO QD 盒 1960 A
D037 布洛芬缓释胶囊 0.3g*20粒 M01AE01 0.3 g PO BID 盒 1690 A
D038 对乙酰氨基酚片 0.5g*10片 N02BE01 0.5 g PO TID 盒 520 A
D039 氨溴索片 30mg*20片 R05CB06 30 mg PO TID 盒 1150 B
D040 氯雷他定片 10mg*6片 R06AX13 10 mg PO QD 盒 1480 A
D041 蒙脱石散 3g*10袋 A07BC05 3 g PO TID 盒 1690 A
D042 口服补液盐散 5.125g*6袋 A07CA 1 袋 PO TID 盒 1160 A
D043 0.9%氯化钠注射液 250ml B05BB01 250 ml IV QD 瓶 372 A
D044 低分子肝素钠注射液 4000IU B01AB05 4000 IU SC QD 支 2838 B
D045 磷酸奥司他韦胶囊 75mg*10粒 J05AH02 75 mg PO BID 盒 9680 B
D046 盐酸坦索罗辛缓释胶囊 0.2mg*10粒 G04CA02 0.2 mg PO QN 盒 2978 A
D047 艾司唑仑片 1mg*20片 N05CD04 1 mg PO QN 盒 420 A
D048 盐酸舍曲林片 50mg*14片 N06AB06 50 mg PO QD 盒 4520 A
D049 琥珀酸亚铁片 0.1g*24片 B03AA 0.1 g PO TID 盒 2360 A
D050 左乙拉西坦片 0.5g*30片 N03AX14 0.5 g PO BID 盒 8940 A
D101 连花清瘟胶囊 0.35g*36粒 - 4 粒 PO TID 盒 2790 A 02
D102 复方丹参滴丸 27mg*180丸 - 10 丸 PO TID 瓶 2860 A 02
D103 板蓝根颗粒 10g*20袋 - 1 袋 PO TID 包 1680 A 02
D104 云南白药胶囊 0.25g*16粒 - 2 粒 PO TID 盒 2390 B 02
"""


def _read(line: str) -> Drug:
    code, name, spec, atc, dose, unit, route, freq, pack, fen, level, *category = line.split()
    atc = "" if atc == "-" else atc
    return Drug(code, name, spec, atc, dose, unit, route, freq, pack, int(fen), level, *category)


DRUGS: dict[str, Drug] = {d.code: d for d in map(_read, _TABLE.strip().splitlines())}

# herbs are charged by the gram: code, name, yuan per gram in 1/10000
HERBS = (
    ("Y001", "黄芪", 850),
    ("Y002", "当归", 1320),
    ("Y003", "茯苓", 695),
    ("Y004", "白术", 1085),
    ("Y005", "甘草", 745),
    ("Y006", "陈皮", 333),
    ("Y007", "丹参", 517),
    ("Y008", "川芎", 991),
)

FREQUENCIES = {"QD": ("每日一次", 1), "BID": ("每日两次", 2), "TID": ("每日三次", 3), "QN": ("每晚一次", 1)}
ROUTES = {"PO": "口服", "IV": "静脉滴注", "IH": "吸入", "SC": "皮下注射"}
