"""Measurements that print the tables and figures of the documentation."""
