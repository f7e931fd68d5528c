"""Reasons and remarks in Chinese: the sender is told in English, the engineer reads the page's language.

What is not in the table stays as it is, so a new reason is never hidden.
"""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from functools import lru_cache

# part of a reason: how the Chinese page says it
_SAID: tuple[tuple[str, str], ...] = (
    (
        r"Another record has the same number, but another name or birth date; check all three at the"
        r" registration desk\. The record is stored apart until the region's identity desk has looked\.",
        "另有记录使用同一号码，但姓名或出生日期不同，请在登记处核对三项；区域身份核对完成前，本记录单独存放。",
    ),
    (
        r"Another record has the same number, name and birth date, but another number of the same kind"
        r" differs; check the numbers\. The region's identity desk is asked too\.",
        "另有记录的号码、姓名和出生日期相同，但另一同类号码不同，请核对号码；区域身份核对岗也已收到提示。",
    ),
    (
        r"Name or birth date changed and no longer agree with the person's other records; check them\."
        r" The region's identity desk is asked too\.",
        "姓名或出生日期已改，与此人的其他记录不再一致，请核对；区域身份核对岗也已收到提示。",
    ),
    (r"The event (\S+) is not taken\.", r"本机不接收事件 \1。"),
    (r"Messages of type (\S+) are not taken\.", r"本机不接收 \1 类型的消息。"),
    (r"HL7 version (\S+) is not taken\.", r"本机不接收 HL7 版本 \1。"),
    (
        r"The message has no PID segment; nobody's record can be changed by it\.",
        "消息缺少 PID 段，无法确定是哪位患者。",
    ),
    (r"The message does not begin with an MSH segment\.", "消息不以 MSH 段开头。"),
    (
        r"MSH-1 and MSH-2 do not declare the delimiters; send \|\^~\\&\.",
        r"MSH-1、MSH-2 没有声明分隔符，应为 |^~\\&。",
    ),
    (r"There is a second MSH segment; send one message per frame\.", "出现第二个 MSH 段；每帧只发一条消息。"),
    (r"MSH-9 is empty\.", "MSH-9（消息类型）为空。"),
    (
        r"UTF-16 is not taken; send UNICODE UTF-8 or GB 18030-2000\.",
        "不接收 UTF-16，请用 UNICODE UTF-8 或 GB 18030-2000。",
    ),
    (
        r"The bytes are neither what MSH-18 says, nor UTF-8, nor the hospital's own character set\.",
        "内容既不是 MSH-18 所声明的字符集，也不是 UTF-8 或本院默认字符集。",
    ),
    (
        r"the connection ended in the middle of a frame; send the message again",
        "连接在一帧中途断开，请重新发送这条消息。",
    ),
    (
        r"the rest of a frame did not come in time; send the message again",
        "一帧的其余部分超时未到，请重新发送这条消息。",
    ),
    (
        r"This processor could not map the message \((\w+)\); it is kept for replay\.",
        r"本机映射这条消息时出错（\1），消息已保留，可重新处理。",
    ),
    (
        r"Control id already used for other content \(message (\d+), received ([^)]+)\);",
        r"控制号已用于另一内容（消息 \1，接收于 \2）；",
    ),
    (
        r"send it under a new control id, or set control_id_reuse: accept in the profile\.",
        "请换控制号重发，或在配置中设 control_id_reuse: accept。",
    ),
    (r"both are kept\.", "两条都保留。"),
    (
        r"The file ends in the middle of a row; write it as \.part and rename it when it is complete\.",
        "文件在一行中途结束；请先写成 .part，写完再改名。",
    ),
    (
        r"The file cannot be read or moved \(([^)]*)\); give this processor's user the right to do both\.",
        r"文件无法读取或移动（\1）；请给本机用户这两项权限。",
    ),
    (
        r"The file is empty; write it as \.part and rename it when it is complete\.",
        "文件为空；请先写成 .part，写完再改名。",
    ),
    (r"has (\d+) fields, the header has (\d+)", r"有 \1 列，表头有 \2 列"),
    (
        r"The content is larger than the limit; send it in parts\.",
        "内容超过大小上限，请分批发送。",
    ),
    (
        r"The content cannot be read; check its format and its character set\.",
        "内容无法读取，请检查格式和字符集。",
    ),
    (
        r"The header of a (\S+) file lacks the columns (.+); see docs/interfaces-csv\.md\.",
        r"\1 文件的表头缺少列：\2。见 docs/interfaces-csv.md。",
    ),
    (r"(\w+) takes <Type> without an id", r"\1 的地址只写资源类型，不带 id"),
    (r"(\w+) takes <Type>/<id>", r"\1 的地址应为 <类型>/<id>"),
    (r"is no resource type of FHIR R4", "不是 FHIR R4 的资源类型"),
    (r"is not the id in the address", "与地址中的 id 不一致"),
    (r"must hold at least one entry", "至少要有一个条目"),
    (r"drug code (\S+) is not mapped", r"药品代码 \1 未对照"),
    (r"laboratory code (\S+) is not mapped", r"检验代码 \1 未对照"),
    (r"(\w+) code (\S+) is not mapped", r"\1 代码 \2 未对照"),
    (
        r"The local database cannot keep what this message became; it is set aside, ask your engineer\.",
        "本机数据库无法保存这条消息，已搁置，请工程师处理。",
    ),
    (
        r"PV1: no such segment, the message may be cut; what it leaves out of the patient is kept",
        "缺少 PV1 段，消息可能被截断；未提到的患者信息保持不变",
    ),
    (
        r"PID: ends before PID-7 and PID-8; what it leaves out of the patient is kept",
        "PID 段在 PID-7、PID-8 之前结束；未提到的患者信息保持不变",
    ),
    (r"code is not in table (\w+)", r"代码不在 \1 表中"),
    (r"code is not in the set (\S+), kept as it came", r"代码不在值集 \1 中，原样保留"),
    (r"no such date or time, left out", "不存在的日期或时间，已略去"),
    (r"no code and no name, left out", "没有代码也没有名称，已略去"),
    (r"no code and no name", "没有代码也没有名称"),
    (r"OBX-11: empty, nobody knows whether the result is final", "OBX-11 为空，不知结果是否为最终结果"),
    (r"control characters are replaced by blanks", "控制字符已换成空格"),
    (r"ends before it begins, kept as text", "终点早于起点，按文本保留"),
    (r"The gzip content ends in the middle; send it again whole\.", "gzip 内容中途结束，请完整重发。"),
    (r"not one number, kept as text", "不是单个数值，按文本保留"),
    (r"value type is not read, kept as text", "值类型不识别，按文本保留"),
    (r"not an amount, left out", "不是金额，已略去"),
    (r"more than a day ahead, left out", "超前一天以上，已略去"),
    (r"no time of the message, time of receipt taken", "消息没有时间，取接收时间"),
    (
        r"no visit number, account or admission time; the visit is left out",
        "没有就诊号、账号或入院时间，就诊已略去",
    ),
    (r"a reference points at nothing that is known here", "引用指向本机未知的对象"),
    (
        r"The hub refuses a large content of this message \((.+)\); it is tried again\.",
        r"中心拒收这条消息的大附件（\1），将再次上传。",
    ),
    (
        r"This processor could not read the file \((\w+)\); report it, with the file\.",
        r"本机读取文件时出错（\1），请连同文件一起报告。",
    ),
    (r"There is no such message here\.", "这里没有这条消息。"),
    (
        r"This message was captured already; only a set-aside one can be replayed\.",
        "这条消息已接收，只有被搁置的才能重新处理。",
    ),
    (
        r"The message did not come in whole; the sender must send it again\.",
        "消息没有完整到达，须由发送方重发。",
    ),
    (
        r"The content of this message was not taken in; the sender must send it again\.",
        "这条消息的内容没有保存，须由发送方重发。",
    ),
    (r"MSH-10 is empty; a message needs a control id\.", "MSH-10（控制号）为空，消息须有控制号。"),
    (r"An attachment's data is not base64; send it again whole\.", "附件内容不是 base64，请完整重发。"),
    (r"no code of the charge, left out", "收费项目没有代码，已略去"),
    (r"no insurance company, left out", "没有保险机构，已略去"),
    (r"an end date of an active problem, left out", "问题仍在进行却有结束日期，已略去"),
    (
        r"Line (\d+) is not CSV; quote fields that hold commas, quotes or line ends\.",
        r"第 \1 行不是 CSV；含逗号、引号或换行的字段请加引号。",
    ),
    (
        r"The file is neither UTF-8 nor (\S+); write it in one character set\.",
        r"文件既不是 UTF-8 也不是 \1，请只用一种字符集。",
    ),
    (
        r"The name says no kind; name it <kind>-<yyyymmdd>-<nn>\.csv, kind one of (.+)\.",
        r"文件名没有说明种类；请命名为 <种类>-<年月日>-<序号>.csv，种类为：\1。",
    ),
    (
        r"The file is not one that is taken here; see docs/interfaces-csv\.md\.",
        "本机不接收这种文件，见 docs/interfaces-csv.md。",
    ),
    (r"The message has no (TXA|SCH) segment\.", r"消息缺少 \1 段。"),
    (r"no document number, the message's own is used", "没有文书编号，用消息控制号代替"),
    (r"earlier than (\S+), left out", r"早于 \1，已略去"),
    (r"is deleted and written by one Bundle \((.+)\)", r"同一 Bundle 中既删除又写入（\1）"),
    (r"is required in a transaction or batch", "在 transaction 或 batch 中必须提供"),
    (r"is the same thing as (\S+) with other content", r"与 \1 是同一对象但内容不同"),
    (
        r"must be <Type>, <Type>/<id> or <Type>\?identifier=…",
        "应为 <类型>、<类型>/<id> 或 <类型>?identifier=…",
    ),
    (r"must be a resource", "应为资源"),
    (r"must be an object", "应为 JSON 对象"),
    (r"must be one of (.+)", r"应为以下之一：\1"),
    (r"names (\S+), the resource is another type", r"写的是 \1，与资源类型不同"),
    (r"the address names (\S+)", r"地址写的是 \1"),
    (
        r"the base address takes a Bundle; send a resource to /fhir/<type>",
        "根地址接收 Bundle；单个资源请发到 /fhir/<类型>",
    ),
    (r"There is no such type; the address takes (.+)\.", r"没有这种类型；地址应为 \1。"),
    (
        r"This inlet takes POST, PUT and DELETE; read from the hub\.",
        "此入口接收 POST、PUT 和 DELETE；查询请到中心。",
    ),
    (
        r"This inlet takes what the hospital records; read at the hub's FHIR address\.",
        "此入口只接收本院记录；查询请到中心的 FHIR 地址。",
    ),
    (r"no time or no vaccine, left out", "没有时间或疫苗，已略去"),
    (
        r"Send the hospital's token as 'Authorization: Bearer <token>'\.",
        "请以 Authorization: Bearer <令牌> 发送本院令牌。",
    ),
    (r"Other formats are not taken here; send (\S+)\.", r"不接收其他格式，请发送 \1。"),
    (r"The content is not gzip as its Content-Encoding says\.", "内容不是 Content-Encoding 所说的 gzip。"),
    (r"The base address takes POST of a Bundle\.", "根地址只接收 POST 的 Bundle。"),
    (r"The content is over (\d+|X\d) bytes; send it in parts\.", r"内容超过 \1 字节，请分批发送。"),
    (r"no time or no drug, left out", "没有时间或药品，已略去"),
    (r"no drug, left out", "没有药品，已略去"),
    (r"order control is not in table (\w+)", r"医嘱控制码不在 \1 表中"),
    (r"neither order number nor code, left out", "没有医嘱号也没有代码，已略去"),
    (
        r"The message has no MRG segment; it does not say which number is used no more\.",
        "消息缺少 MRG 段，没有说明哪个号码停用。",
    ),
    (r"(\w+) holds no patient number; send it in (\S+)\.", r"\1 中没有患者号码，请写在 \2。"),
    (r"the same number as the survivor's, nothing to merge", "与保留的号码相同，无须合并"),
    (
        r"The sender is not registered with keys that can be used; mend that with `hie facility add`\.",
        "中心没有登记本院可用的密钥，请区域平台运维登记本院公钥；本机会再次发送。",
    ),
    (r"The envelope's signature does not verify with the sender's key\.", "信封签名与中心登记的公钥不符。"),
    (r"The envelope's properties are not those that were signed\.", "信封属性与签名时不一致。"),
    (r"The envelope's body is not the one that was signed\.", "信封内容与签名时不一致。"),
    (r"The envelope's sender is not the user that published it\.", "信封的发送方与发布它的用户不一致。"),
    (r"The envelope's type or version is not known here\.", "中心不识别信封的类型或版本。"),
    (r"The envelope cannot be opened with this side's key\.", "收方的密钥打不开信封，请核对中心的公钥。"),
    (r"The envelope is empty\.", "信封是空的。"),
    (r"The entries of the envelope cannot be read\.", "信封中的条目无法读取。"),
    (r"The body is not compressed as agreed\.", "正文没有按约定压缩。"),
    (r"The body holds more than (\d+) bytes once unpacked\.", r"正文解压后超过 \1 字节。"),
    (r"The body ends too early\.", "正文不完整。"),
    (r"The local database does not take receipts at the moment\.", "本机数据库暂时不能保存回执。"),
    (
        r"The hub's receipts cannot be read; check that both sides have the same version\.",
        "中心的回执无法读取，请检查两端版本是否一致。",
    ),
    (r"flag is not in table interpretation, kept as text", "标志不在结果判读表中，按文本保留"),
    (
        r"SCH-1 and SCH-2 are empty; an appointment needs a number\.",
        "SCH-1、SCH-2 为空，预约须有编号。",
    ),
    (r"no time of the appointment", "没有预约时间"),
    (r"no specimen number and no order number, left out", "没有标本号也没有医嘱号，已略去"),
    (r"the file is not in the encoding it names, kept as text", "文件内容不是所声明的编码，按文本保留"),
    (r"Not stored: this processor is stopping; send it again\.", "未保存：本机正在停止，请重发。"),
    (
        r"Not stored: too many messages wait for the local disk; send it again\.",
        "未保存：等待写盘的消息过多，请重发。",
    ),
    (
        r"Not stored: the local database does not take messages at the moment; send it again\.",
        "未保存：本机数据库暂不接收，请重发。",
    ),
    (
        r"bytes outside of a frame; begin each message with the byte 0x0B",
        "帧外有多余字节；每条消息须以字节 0x0B 开始",
    ),
    (
        r"a frame began before the last one ended; end each message with the bytes 0x1C 0x0D",
        "上一帧未结束又开始新帧；每条消息须以字节 0x1C 0x0D 结束",
    ),
    (r"two messages in one frame; send each in a frame of its own", "一帧中有两条消息，请分帧发送"),
    (r"the message is over the size limit of (\d+) bytes", r"消息超过大小上限 \1 字节"),
    (r"an empty frame", "空帧"),
    (r"\bline (\d+)", r"第 \1 行"),
    (r"(\([^()]+\)) is empty", r"\1 为空"),
    (r"(\([^()]+\)) is no date that exists", r"\1 不是存在的日期"),
    (r"(\([^()]+\)) is no date and time that exists", r"\1 不是存在的日期时间"),
    (r"(\([^()]+\)) is no number", r"\1 不是数字"),
    (r"(\([^()]+\)) is no amount", r"\1 不是金额"),
    (r"(\([^()]+\)) is no whole number", r"\1 不是整数"),
)
_TABLE = tuple((re.compile(pattern), said) for pattern, said in _SAID)


_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")


def in_zone(reason: str, zone: tzinfo) -> str:
    """Return a reason with its instants as the page shows all others: in the hospital's zone."""
    return _INSTANT.sub(
        lambda found: datetime.fromisoformat(found[0]).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"), reason
    )


@lru_cache(maxsize=512)
def in_chinese(reason: str) -> str:
    """Return a reason with the parts that are known said in Chinese."""
    for pattern, said in _TABLE:
        reason = pattern.sub(said, reason)
    return reason
