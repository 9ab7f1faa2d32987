"""Durability of the local stack across stop and kill -9, without pickle."""

from driftwheel_local.store.store import Store

__all__ = ["Store"]
