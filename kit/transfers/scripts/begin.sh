# begin ROOT BATCH KEY...: take out of a batch what an interrupted attempt left and this one does not write again: marks,
# and all of the artifacts whose heads come alone.
set -eu
cd -- "$1/tmp/$2"
shift 2
rm -f -- ./*/artifact.released.json
[ $# = 0 ] || rm -rf -- "$@"
