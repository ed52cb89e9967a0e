"""Handing an upload over to the daemon: what a web application and the scanner say to each other.

An open descriptor goes with the question; neither a name nor a size is ever taken from it.
"""
