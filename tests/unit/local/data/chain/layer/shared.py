def words(key):
    return key.upper()
