"""Clinical content as data: diseases, drugs, panels, imaging, services, staff."""
