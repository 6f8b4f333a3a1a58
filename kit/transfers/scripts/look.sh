# look ROOT FORMAT make|ask|read FOLDER...: print "free KIB", or what keeps artifacts from coming from here or going here.
set -eu
root=$1 format=$2 how=$3
shift 3
if [ ! -e "$root/artifacts" ]; then
    if [ "$how" = read ]; then echo missing; exit 0; fi
    if [ -e "$root" ] && [ -n "$(ls -A -- "$root")" ]; then echo other; exit 0; fi
    if [ "$how" = ask ]; then echo new; exit 0; fi
    for name in "$@"; do mkdir -p -- "$root/$name" 2>/dev/null || { echo closed; exit 0; }; done
    echo "$format" >"$root/format"
fi
if [ -e "$root/format" ]; then
    found=$(head -c 100 -- "$root/format" | head -n 1)
    if [ "$found" != "$format" ]; then echo "format $found"; exit 0; fi
fi
if [ "$how" = make ]; then
    for name in "$@"; do mkdir -p -- "$root/$name" 2>/dev/null || { echo closed; exit 0; }; done
    if [ ! -w "$root/tmp" ] || [ ! -w "$root/artifacts" ]; then echo closed; exit 0; fi
fi
echo "free $(df -Pk -- "$root" | awk 'NR == 2 { print $4 }')"
