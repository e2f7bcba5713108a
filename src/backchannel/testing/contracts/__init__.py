"""Contract tests for implementations of extension points, as test classes to inherit from.

They need pytest and anyio's pytest plugin. For detailed assertion messages, add
`pytest.register_assert_rewrite("backchannel.testing.contracts")` to a `conftest.py`.
"""
