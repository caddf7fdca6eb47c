"""Object stores. Each is imported by the app alone and passes tests/ports/test_object_store.py."""
