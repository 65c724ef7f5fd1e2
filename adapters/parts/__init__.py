"""Pieces that several adapters are made of; an adapter itself is a file of the folder above."""
