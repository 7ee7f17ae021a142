'use strict';
/*
 * scheduler.js TABLE CHANNEL TASKS-URL CALLBACK-URL: the Node service that the
 * benchmarks compare with.  One client listens; for each booking it SELECTs the
 * row, POSTs the task and UPDATEs the row, for IN_FLIGHT (64) bookings at a
 * time, over a pool of POOL (20) connections.  HTTP=fetch uses the built-in
 * fetch in the place of undici's quicker request().
 *
 * The database is the one that libpq's variables name.  A payload on CHANNEL
 * is a booking's id.
 */
const { Client, Pool } = require('pg');
const undici = require('undici');

const [table, channel, tasksUrl, callbackUrl] = process.argv.slice(2);
const inFlight = Number(process.env.IN_FLIGHT || 64);
const agent = new undici.Agent({ connections: inFlight, pipelining: 1 });
const pool = new Pool({
	max: Number(process.env.POOL || 20),
	application_name: 'bench-node',
});
const queueName = tasksUrl.slice(tasksUrl.indexOf('projects/'));
const account = 'followup@demo-project.iam.gserviceaccount.com';

// Said as "= 'pending'" PostgreSQL would look for the row in the index of what
// is pending, which was small when the statistics were made, and read all of a
// burst for each booking of it.
const untouched = `task_status NOT IN ('scheduled', 'executed', 'cancelled',
    'failed')`;

const read = {
	name: 'read',
	text: `SELECT tenant_id, lead_id, assigned_user_id, scheduled_at
	    FROM ${table} WHERE id = $1 AND ${untouched}`,
};
const write = {
	name: 'write',
	text: `UPDATE ${table} SET task_status = 'scheduled', task_name = $2,
	    task_scheduled_at = $3, idempotency_key = $4
	    WHERE id = $1 AND ${untouched}`,
};

async function post(body) {
	const headers = { 'content-type': 'application/json' };
	if (process.env.HTTP === 'fetch') {
		const answer = await fetch(tasksUrl,
		    { method: 'POST', headers, body });
		await answer.arrayBuffer();
		return answer.status;
	}
	const answer = await undici.request(tasksUrl,
	    { method: 'POST', headers, body, dispatcher: agent });
	await answer.body.dump();
	return answer.statusCode;
}

async function schedule(id) {
	const { rows } = await pool.query({ ...read, values: [id] });
	if (rows.length === 0)
		return;
	const row = rows[0];
	const time = row.scheduled_at.toISOString();
	const key = `followup:${row.tenant_id}:${id}:${time}`;
	const epoch = Math.floor(row.scheduled_at.getTime() / 1000);
	const name = `${queueName}/followup-${id}-${epoch}`;
	const payload = JSON.stringify({
		tenantId: row.tenant_id,
		bookingId: id,
		leadId: row.lead_id,
		assignedUserId: row.assigned_user_id,
		idempotencyKey: key,
		scheduledAt: time,
	});
	const status = await post(JSON.stringify({ task: {
		name,
		scheduleTime: time,
		dispatchDeadline: '120s',
		httpRequest: {
			httpMethod: 'POST',
			url: `${callbackUrl}/${id}/execute-followup`,
			headers: { 'Content-Type': 'application/json' },
			body: Buffer.from(payload).toString('base64'),
			oidcToken: {
				serviceAccountEmail: account,
				audience: callbackUrl,
			},
		},
	} }));
	if (status !== 200 && status !== 409)
		throw new Error(`the task was refused: ${status}`);
	await pool.query({ ...write, values: [id, name, time, key] });
}

// What waits is an array that is read from its front, without moving the rest.
let waiting = [];
let next = 0;
let busy = 0;

async function work() {
	busy++;
	while (next < waiting.length) {
		const id = waiting[next++];
		if (next === waiting.length) {
			waiting = [];
			next = 0;
		}
		await schedule(id);
	}
	busy--;
}

function put(id) {
	waiting.push(id);
	if (busy < inFlight)
		work();
}

async function main() {
	const listener = new Client({ application_name: 'bench-node' });
	await listener.connect();
	listener.on('notification', (message) => put(message.payload));
	await listener.query(`LISTEN ${channel}`);
	const { rows } = await listener.query(
	    `SELECT id FROM ${table} WHERE task_status = 'pending'`);
	for (const { id } of rows)
		put(id);
	console.log('listening');
}

process.on('unhandledRejection', (error) => {
	console.error(error);
	process.exit(1);
});
main();
