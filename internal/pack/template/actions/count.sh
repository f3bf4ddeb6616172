# Each parameter is PARAM_NAME in the environment. The last line is the result, because it is a JSON object.
count=$(find "$PARAM_PATH" -mindepth 1 -maxdepth 1 -printf . | wc -c)
echo "counted $PARAM_PATH"
echo "{\"entries\": $count}"
