# document_string prints the one string of a JSON parameter document, {"name": "value"}, read from standard input.
# It is for values that are too large for an environment; a NUL in the value is dropped, because bash can't hold it.
document_string() {
	local document LC_ALL=C # bytes are enough, and fast
	IFS= read -r -d '' document || true
	document=${document#*:*\"}
	document=${document%\"*}
	document=${document//\\\"/\"}
	# Every other escape of JSON but \/ and surrogate pairs is one of printf's too. Encoders need neither of the two.
	LC_ALL=C.UTF-8 printf '%b' "$document"
}
