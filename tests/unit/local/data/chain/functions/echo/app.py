def handler(event, context):
    return {"heard": event["said"]}
