"""Resources within a budget."""

import pytest

from clipsmaster.compression import ResourceStore, StoreFullError, get_store, set_store

MIB = 1 << 20


def test_a_budget_is_kept_and_nothing_lost(text):
    with ResourceStore(8 * MIB, background=False) as store:
        for i in range(64):
            store.insert(f"log-{i}", text[i:], "log_data")
        assert store.held_bytes <= 8 * MIB and len(store) == 64
        for i in range(64):
            assert store[f"log-{i}"] == text[i:]
        stats = store.stats()
        assert stats["types"]["log_data"]["resources"] == 64 and stats["types"]["log_data"]["compressions"] > 0


def test_views_outlive_what_they_show(text):
    store = ResourceStore(64 * MIB)
    store.insert(b"a", text)
    view = store.get(b"a")
    assert view.readonly and store.remove("a") and not store.remove("a")
    store.close()
    assert view == text
    with pytest.raises(ValueError, match="closed"):
        store.get("a")


def test_parts_and_absent_ones(text):
    with ResourceStore(64 * MIB) as store:
        store.insert("a", text, "subtitle")
        assert store.compress_with_policy("a", "subtitle")["resources"] == 1
        assert store.read("a", 1000, 1100) == text[1000:1100]
        assert "a" in store and "b" not in store and store.get("b") is None
        for absent in (lambda: store["b"], lambda: store.read("b", 0, 1), lambda: store.compress_with_policy("b", "subtitle")):
            with pytest.raises(KeyError):
                absent()
        with pytest.raises(ValueError):
            store.read("a", 0, len(text) + 1)
        with pytest.raises(TypeError):
            store.insert(7, text)


def test_what_does_not_fit_is_refused():
    import random

    with ResourceStore(4 * MIB, background=False) as store:
        with pytest.raises(StoreFullError, match="raise the budget"):
            store.insert("noise", random.Random(3).randbytes(5 * MIB))
    for wrong in (0, 1000):
        with pytest.raises(ValueError):
            ResourceStore(wrong)
    with pytest.raises(OverflowError):
        ResourceStore(-1)


def test_the_default_store_can_be_changed(text):
    own = ResourceStore(16 * MIB)
    before = set_store(own)
    try:
        assert get_store() is own
    finally:
        set_store(before)
        own.close()
