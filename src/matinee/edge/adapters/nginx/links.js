// The same check of links as in Python (matinee.kit.hashing); tests/vectors/path_tokens.json holds for both.
import crypto from 'crypto';
import keys from 'keys.js';

function isEqual(a, b) {
    var difference = a.length ^ b.length;
    for (var i = 0; i < a.length && i < b.length; i++) { difference |= a.charCodeAt(i) ^ b.charCodeAt(i); }
    return difference === 0;
}

function sign(key, text) {
    var digest = crypto.createHmac('sha256', Buffer.from(key, 'hex')).update(text).digest('hex');
    return Buffer.from(digest.slice(0, 32), 'hex').toString('base64url');
}

function isTokenValid(token, scope) {
    var dash = token.indexOf('-'), expiry = token.slice(0, dash), signature = token.slice(dash + 1);
    if (!/^[0-9a-f]{1,12}$/.test(expiry) || parseInt(expiry, 16) <= Date.now() / 1000) { return false; }
    return keys.some(function (key) { return isEqual(sign(key, expiry + '|' + scope), signature); });
}

// At most one well-formed range; the built-in server judges all others.
function isRangeSimple(range) {
    if (range === undefined) { return true; }
    var found = /^bytes=([0-9]{0,15})-([0-9]{0,15})$/.exec(range);
    if (found === null || (found[1] === '' && found[2] === '')) { return false; }
    return found[1] === '' || found[2] === '' || parseInt(found[1], 10) <= parseInt(found[2], 10);
}

function art(r) {
    return (r.method === 'GET' || r.method === 'HEAD') && isRangeSimple(r.headersIn.Range) ? '1' : '';
}

function link(r) {
    return art(r) && isTokenValid(r.variables.token, r.variables.scope) ? '1' : '';
}

export default { art, link };
