"""What people may use of models: budgets, prices, and who a model call is charged to."""
