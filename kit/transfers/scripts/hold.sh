# hold ROOT KEY...: lock the first of some jobs that no run works on, and make the folder that a batch is copied into;
# print the job and the folder. The lock is given back when standard input ends.
set -eu
root=$1 held=
shift
for key in "$@"; do
    if ! command -v flock >/dev/null; then held=$key; break; fi
    [ ! -e "$root/locks/$key" ] || [ -w "$root/locks/$key" ] || continue
    exec 9>>"$root/locks/$key"
    if flock -n 9; then held=$key; break; fi
done
if [ -z "$held" ]; then echo busy; exit 0; fi
umask 077
batch=$held.copy
if [ ! -e "$root/tmp/$batch" ] && [ ! -L "$root/tmp/$batch" ]; then
    mkdir -- "$root/tmp/$batch"
else # an interrupted attempt's, if nobody else could write there
    mine=$(find "$root/tmp/$batch" -prune -type d -user "$(id -u)" ! -perm /077)
    [ -n "$mine" ] || batch=$(cd -- "$root/tmp" && mktemp -d --suffix=.copy "$held.XXXXXXXX")
fi
echo "$held $batch"
cat >/dev/null
