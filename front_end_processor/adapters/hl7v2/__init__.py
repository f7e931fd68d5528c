"""HL7 v2 over MLLP: ER7 reader and writer, character sets, listener, acknowledgements."""
