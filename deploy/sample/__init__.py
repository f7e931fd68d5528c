"""A synthetic province: invented people and what five hospitals of different make would send about them."""
