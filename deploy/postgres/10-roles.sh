# Run once by the PostgreSQL image, when its volume is new. One role owns the tables and migrates; the other one is what
# the processes are. It may add audit entries and not change or remove them.
# The passwords are read by psql itself, so that they stand in no command line.
psql -v ON_ERROR_STOP=1 --quiet --no-psqlrc --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set owner_password `cat /secrets/postgres/OWNER_PASSWORD`
\set app_password `cat /secrets/postgres/APP_PASSWORD`
CREATE ROLE rollcall_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE rollcall LOGIN PASSWORD :'app_password';
ALTER DATABASE :"DBNAME" OWNER TO rollcall_owner;
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO rollcall;
SQL
