# A message that no environment can hold comes on standard input alone.
if [[ ! -v PARAM_MESSAGE ]]; then
	source "$ATTUNE_PACK_DIR/lib/document.sh"
	PARAM_MESSAGE=$(document_string)
fi
printf '%s\n' "$PARAM_MESSAGE"
