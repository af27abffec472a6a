import { mount } from 'svelte';
import './styles/overview.css';
import Overview from './Overview.svelte';

const target = document.getElementById('page');
if (target === null) throw new Error('overview.html has no element with the id "page"');
mount(Overview, { target });
