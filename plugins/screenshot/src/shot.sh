# Takes the picture of one page, and writes it to standard output.
#
# The browser is spoken to by its DevTools protocol, not by `--screenshot`: only so it is known whether the page
# answered, when it was loaded, and how long it is. Messages go in through a pipe (3) and come out into a file (4), each
# with a zero byte behind it.
#
# Arguments: how many bytes the picture may have; seconds after the page was loaded; the height up to which the page is
# taken as a whole, 0 for the window alone; messages for the headers, the window and the address; then the browser's own.
# Status: 69 a program is missing, 70 the browser failed, 71 the page could not be loaded, 72 the picture is too large.
# The last line of standard error says why; where all went well, the lines there are notes.
bytes=$1 pause=$2 whole=$3 headers=$4 window=$5 page=$6
shift 6
lacks() { echo "the image has no $1" >&2; exit 69; }
for c in mktemp mkfifo tr grep sed tail sleep base64 wc; do
  command -v "$c" >/dev/null 2>&1 || lacks "program $c"
done
b=
for c in chromium-headless-shell headless-shell chrome-headless-shell chromium chromium-browser google-chrome; do
  if command -v "$c" >/dev/null 2>&1; then b=$c; break; fi
done
[ -n "$b" ] || lacks Chromium
d=$(mktemp -d) && mkfifo "$d/in" && : >"$d/out" || lacks 'folder for temporary files that can be written to'
export HOME="$d"
exec 8<>"$d/in"
"$b" "$@" --user-data-dir="$d/profile" --remote-debugging-pipe 3<"$d/in" 4>"$d/out" >"$d/log" 2>&1 8>&- &
p=$!

fail() {
  [ "$1" -ne 70 ] || tail -n 10 "$d/log" >&2
  echo "$2" >&2
  exit "$1"
}
# Waits until a line of the browser's begins so, for so many tenths of a second.
until_said() {
  n=0
  until tr '\0' '\n' <"$d/out" | grep -m 1 "$1" >"$d/found"; do
    kill -0 "$p" 2>/dev/null || fail 70 "$b ended before there was a picture"
    n=$((n + 1))
    [ "$n" -le "$2" ] || return 1
    sleep 0.1
  done
}
i=0 s=
ask() {
  i=$((i + 1))
  printf '{"id":%s,"method":"%s","params":%s%s}\0' "$i" "$1" "$2" "$s" >&8
  until_said "^{\"id\":$i," 600 || fail "$3" "$4"
  ! grep -q "^{\"id\":$i,\"error\":" "$d/found" || fail 70 "$b refused $1: $(field message)"
}
browser() { ask "$1" "$2" 70 "$b did not answer within a minute"; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$d/found"; }
number() { sed -n "s/.*\"$1\":{[^}]*\"$2\":\([0-9]*\).*/\1/p" "$d/found"; }

browser Target.createTarget '{"url":"about:blank"}'
browser Target.attachToTarget "{\"targetId\":\"$(field targetId)\",\"flatten\":true}"
s=",\"sessionId\":\"$(field sessionId)\""
browser Emulation.setDeviceMetricsOverride "$window"
browser Network.enable '{}'
browser Network.setExtraHTTPHeaders "$headers"
browser Page.enable '{}'
ask Page.navigate "$page" 71 'the page did not answer within a minute'
why=$(field errorText)
[ -z "$why" ] || fail 71 "the page could not be loaded: $why"
until_said '^{"method":"Page.loadEventFired"' 300 || echo 'note the page was not loaded whole within 30 s' >&2
tr '\0' '\n' <"$d/out" | grep '^{"method":"Network.responseReceived"' | grep -m 1 '"type":"Document"' >"$d/found"
echo "status $(sed -n 's/.*"status":\([0-9]*\).*/\1/p' "$d/found")" >&2
sleep "$pause"
clip=
if [ "$whole" -gt 0 ]; then
  browser Page.getLayoutMetrics '{}'
  w=$(number cssContentSize width) h=$(number cssContentSize height)
  if [ "$h" -gt "$whole" ]; then
    echo "note the page is $h high: the first $whole are in the picture" >&2
    h=$whole
  fi
  clip=",\"captureBeyondViewport\":true,\"clip\":{\"x\":0,\"y\":0,\"width\":$w,\"height\":$h,\"scale\":1}"
fi
for form in '"png"' '"jpeg","quality":80'; do
  browser Page.captureScreenshot "{\"format\":$form$clip}"
  field data | base64 -d >"$d/picture"
  [ "$(wc -c <"$d/picture")" -gt "$bytes" ] || { cat "$d/picture"; exit 0; }
done
fail 72 "the picture has $(wc -c <"$d/picture") bytes, and $bytes come back"
