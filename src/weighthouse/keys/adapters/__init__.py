"""Key services. Each is imported by the app alone and passes tests/ports/test_key_service.py."""
