"""What Spark's job starts: the package comes beside it."""

from driftwheel.jobs.preprocess_spark import main

if __name__ == "__main__":
    main()
