exec sleep "$PARAM_SECONDS"
