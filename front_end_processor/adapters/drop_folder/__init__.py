"""The drop folder as an inlet: CSV extracts that a hospital's systems write as files."""
