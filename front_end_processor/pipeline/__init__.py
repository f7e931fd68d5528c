"""From received bytes to the hub: capture durably, relay until the hub's receipt."""
