"""Accounts, profiles, devices, sign-in and tokens."""
