# A value is never evaluated, whatever it holds.
loud=${PARAM_MESSAGE^^}
printf '%s\n' "$loud" | tee "$ATTUNE_ARTIFACTS_DIR/shout.txt"
printf '{"characters": %d}\n' "${#loud}"
