"""The socket servers: what other programs already speak, in front of the scanner's upload socket.

Nothing here decodes, matches, stores, or opens a customer's file.
"""
