# Hands the message on standard input to a mail server. Words: the variable that holds the password, or nothing; the
# user, quoted as in a file of curl's; then what curl is told besides.
# It says: `< ` before each line of the server, `curl: ` before curl's own, `code ` with the server's last status, and
# `ended ` with that of curl.
name=$1 user=$2
shift 2
login=
if [ -n "$name" ]; then
  eval "password=\$$name"
  # Quoted, and its first line alone: another one would be an option of curl's.
  password=$(sed 's/[\\"]/\\&/g;q' <<END
$password
END
  )
  login="user = \"$user:$password\""
fi
# By a file and not as an argument, which every process may read.
exec 4<<END
$login
END
{
  curl --disable --silent --show-error --verbose --connect-timeout 20 --max-time 60 --config /proc/self/fd/4 \
    --upload-file - --write-out '\ncode %{response_code}\n' "$@" 2>&1
  echo "ended $?"
} | sed -n '/^< /p;/^curl: /p;/^code /p;/^ended /p'
