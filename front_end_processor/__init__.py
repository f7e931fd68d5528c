"""The front-end processor: captures what one hospital's systems send and passes it to the hub."""
