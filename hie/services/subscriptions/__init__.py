"""Subscriptions: R4 criteria and R5 backport topics, matched below a watermark and delivered in order."""
