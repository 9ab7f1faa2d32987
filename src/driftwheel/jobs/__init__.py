"""What runs inside SageMaker's containers: standard library, numpy, pyarrow and xgboost only."""
