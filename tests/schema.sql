-- The application's own schema, as far as follow-ups touch it: what is there
-- before followup-trigger comes.  psql variables: schema, table.
--
-- No foreign keys, so that a test may insert a booking with any ids.

\set ON_ERROR_STOP on
\if :{?schema}
\else
\set schema lad_dev
\endif
\if :{?table}
\else
\set table lead_bookings
\endif

BEGIN;

CREATE SCHEMA :"schema";

CREATE TABLE :"schema".tenants (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	name text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE :"schema".users (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id uuid NOT NULL,
	name text NOT NULL,
	email text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE :"schema".leads (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id uuid NOT NULL,
	first_name text,
	last_name text,
	phone text,
	email text,
	created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE :"schema".:"table" (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id uuid NOT NULL,
	lead_id uuid,
	assigned_user_id uuid,
	booking_type varchar(50) NOT NULL,
	booking_source varchar(50),
	scheduled_at timestamptz NOT NULL,
	timezone varchar(64),
	status varchar(30) DEFAULT 'scheduled',
	notes text,
	metadata jsonb DEFAULT '{}',
	created_by uuid,
	is_deleted boolean NOT NULL DEFAULT false,
	created_at timestamptz DEFAULT now(),
	updated_at timestamptz DEFAULT now()
);

INSERT INTO :"schema".tenants (id, name) VALUES
	('11111111-1111-4111-8111-111111111111', 'Example Academy'),
	('22222222-2222-4222-8222-222222222222', 'Example Realty');

INSERT INTO :"schema".users (id, tenant_id, name, email) VALUES
	('a1111111-1111-4111-8111-111111111111',
	 '11111111-1111-4111-8111-111111111111',
	 'Alex Adviser', 'alex@example.com'),
	('a2222222-2222-4222-8222-222222222222',
	 '22222222-2222-4222-8222-222222222222',
	 'Robin Realtor', 'robin@example.com');

INSERT INTO :"schema".leads (id, tenant_id, first_name, last_name, phone,
    email) VALUES
	('b1111111-1111-4111-8111-111111111111',
	 '11111111-1111-4111-8111-111111111111',
	 'Sam', 'Student', '+15550100001', 'sam@example.com'),
	('b1111111-1111-4111-8111-222222222222',
	 '11111111-1111-4111-8111-111111111111',
	 'Pat', 'Parent', '+15550100002', 'pat@example.com'),
	('b2222222-2222-4222-8222-222222222222',
	 '22222222-2222-4222-8222-222222222222',
	 'Blake', 'Buyer', '+15550100003', 'blake@example.com');

COMMIT;
