"""Web Mercator tiles: addresses, decoding, and patches made of them."""
