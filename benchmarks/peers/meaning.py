"""What every peer must do, in words they share: benchmarks/model.yaml written by hand."""

TEXTS = ("country", "city", "device", "browser", "plan")
INTEGERS = ("age", "clicks", "visits", "rating")
NUMBERS = ("income", "temp", "humidity", "amount", "discount", "score")
NULLS = {"browser": ["", "NA"], "income": ["", "NA"], "temp": ["", "NA", "n/a"]}
RANGES = {"age": (0, 120), "temp": (-40, 130), "humidity": (0, 100)}
CANONICAL = {"us": "United States", "u.s.": "United States", "usa": "United States", "de": "Germany"}
CANONICAL |= {"united states": "United States", "germany": "Germany"}
FILLED = ("temp", "humidity")
SALT = "driftwheel|"
HOLDOUT, VALIDATION = f"{round(0.15 * 2**32):08x}", f"{round(0.3 * 2**32):08x}"
