"""The directory: member facilities with their keys, systems that call the API, users of the portal."""
