# list ROOT: print the key of each artifact, with ! behind those that gave their files back.
set -eu
cd -- "$1/artifacts"
for key in *; do
    [ -f "$key/artifact.json" ] || continue
    if [ -e "$key/artifact.released.json" ]; then echo "$key!"; else echo "$key"; fi
done
