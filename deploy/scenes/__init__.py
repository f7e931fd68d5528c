"""The pictures of docs/images: every page, in both languages, on a desk and on a phone, from the sample."""
