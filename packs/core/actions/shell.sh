# The command is evaluated here: on the command line of another bash everybody could read it in ps. One that no
# environment can hold comes in the parameter file alone.
if [[ ! -v PARAM_CMD ]]; then
	source "$ATTUNE_PACK_DIR/lib/document.sh"
	PARAM_CMD=$(document_string <"$ATTUNE_PARAMETER_FILE"; printf .)
	PARAM_CMD=${PARAM_CMD%.}
fi
export -n PARAM_CMD
eval "$PARAM_CMD"
