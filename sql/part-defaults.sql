-- part-defaults.sql: the variables that the caller has left out.

\set ON_ERROR_STOP on
\if :{?schema}
\else
\set schema lad_dev
\endif
\if :{?table}
\else
\set table lead_bookings
\endif
\if :{?grant_to}
\else
\set grant_to ''
\endif
\if :{?paused}
\else
\set paused off
\endif
\if :{?purge}
\else
\set purge off
\endif
\if :{?lock_timeout}
\else
\set lock_timeout 10s
\endif
