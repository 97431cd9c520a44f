"""API keys: how one is made and known again, what may be said of one, and how it is changed."""

from tailrace.keys.bodies import KeyChanges, ModelName, Name, NewKey, check_models, parse_flags, parse_json
from tailrace.keys.budgets import parse_budget, show_budget
from tailrace.keys.faces import KeyFace, KeyList, MadeKeyFace, describe
from tailrace.keys.keyring import Keyring, MadeKey
from tailrace.keys.texts import ADMIN_ID, KeyText, hash_secret, make_text, parse_text

__all__ = [
    "ADMIN_ID",
    "KeyChanges",
    "KeyFace",
    "KeyList",
    "KeyText",
    "Keyring",
    "MadeKey",
    "MadeKeyFace",
    "ModelName",
    "Name",
    "NewKey",
    "check_models",
    "describe",
    "hash_secret",
    "make_text",
    "parse_budget",
    "parse_flags",
    "parse_json",
    "parse_text",
    "show_budget",
]
