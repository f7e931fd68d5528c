"""What hospitals with HL7 v2 send: v2.3.1 in GB 18030 and v2.5 in UTF-8."""
