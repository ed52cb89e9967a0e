"""Reports about cases: drafted from what is recorded, approved by a person, and kept."""
