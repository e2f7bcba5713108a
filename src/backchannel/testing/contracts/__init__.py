"""What every implementation of an extension point must do, as test classes to inherit from.

They need pytest and anyio's plugin for it. For pytest to explain their assertions, write
`pytest.register_assert_rewrite("backchannel.testing.contracts")` in a `conftest.py`.
"""
